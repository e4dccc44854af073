"""Words a secret as files, programs and people do: configuration, commands, code, traces, prose in several scripts.

By another hand than the rules, as `foreign_secrets.py` says. In a template `{s}` is the secret, `{n}` the name beside it.
"""

import json
import random
import textwrap

from memloop_tests.trajectories.foreign_secrets import Secret

KEY_NAMES = [
    "OPENAI_API_KEY",
    "API_KEY",
    "apiKey",
    "GITHUB_TOKEN",
    "SLACK_BOT_TOKEN",
    "STRIPE_SECRET_KEY",
    "token",
    "key",
    "HF_TOKEN",
]
# the name that stands before `=` in files and commands
NAMES: dict[str, list[str]] = {
    "provider_key": KEY_NAMES,
    "jwt": ["ACCESS_TOKEN", "id_token", "SUPABASE_SERVICE_ROLE_KEY", "session", "jwt"],
    "pem": ["TLS_KEY", "PRIVATE_KEY", "ssh_key", "GITHUB_APP_PRIVATE_KEY"],
    "url_credentials": ["DATABASE_URL", "REDIS_URL", "BROKER_URL", "HTTPS_PROXY", "dsn"],
    "auth_header": ["Authorization"],
    "generic_secret": [
        "AWS_SECRET_ACCESS_KEY",
        "MISTRAL_API_KEY",
        "COHERE_API_KEY",
        "DATADOG_API_KEY",
        "JWT_SECRET",
        "SECRET_KEY",
        "client_secret",
        "access_token",
        "refresh_token",
        "AUTH_TOKEN",
        "WEBHOOK_SIGNING_SECRET",
        "ENCRYPTION_KEY",
        "TWILIO_AUTH_TOKEN",
        "apiKey",
        "clientSecret",
        "secretAccessKey",
        "x-api-key",
        "private_token",
    ],
    "password": [
        "DB_PASSWORD",
        "PGPASSWORD",
        "password",
        "MYSQL_ROOT_PASSWORD",
        "passwd",
        "DB_PASS",
        "smtp_password",
        "adminPassword",
        "pwd",
    ],
    "email": ["EMAIL", "user", "ADMIN_EMAIL", "from"],
    "phone": ["PHONE", "mobile", "tel", "callback_number"],
    "card": ["card_number", "pan", "cc", "CARD"],
    "iban": ["iban", "IBAN", "account", "creditor_iban"],
}
# the name of a field in parsed JSON
FIELDS: dict[str, list[str]] = {
    **NAMES,
    "provider_key": ["api_key", "token", "apiKey", "openaiKey", "value", "credential", "key"],
    "auth_header": ["Authorization", "authorization", "Proxy-Authorization", "auth_header"],
    "email": ["email", "contact", "user_name", "recipient", "Email Address", "reply_to"],
    "phone": ["phone", "phone_number", "mobile", "contact", "tel"],
    "card": ["card_number", "number", "pan", "payment_method", "cardNumber"],
    "iban": ["iban", "account", "account_number", "beneficiary"],
}

_ANYWHERE = {
    "prose": [
        "I set it to {s} this morning and it still fails.",
        "Can you try with {s}? Thanks",
        "{s}",
        "here you go: {s}",
        "Use {s}, please.",
    ],
    "beside punctuation": [
        "({s})",
        "see `{s}`.",
        "“{s}”",
        "‘{s}’;",
        "<{s}>",
        "[{s}],",
        "**{s}**",
        "| {s} | ok |",
        "'{s}',",
        "«{s}»",
        "{s}!",
        "…{s}…",
    ],
    "other scripts": [
        "キーは{s}です。",
        "请使用{s}登录",
        "Вот он: {s}, попробуй",
        "المفتاح هو {s} شكرا",
        "✅{s}🙏",
        "Schlüssel »{s}« läuft",
        "ключ—{s}—ок",
    ],
    "code block": [
        "Try this:\n```python\nclient = connect('{s}')\n```\nThen run it.",
        '```js\nconst c = new Client("{s}", {{ retries: 3 }});\n```',
    ],
    "stack trace": [
        'Traceback (most recent call last):\n  File "/app/run.py", line 12, in main\n    send("{s}")\nValueError: rejected: {s}',
        "java.lang.IllegalStateException: cannot use {s}\n\tat com.acme.Pay.run(Pay.java:41)",
    ],
    "log line": [
        "2026-03-17 10:00:01,221 INFO agent.http: got {s} (200 OK)",
        'level=warn msg="bad value" value={s} took=31ms',
        "[worker-3] using {s}",
    ],
    "csv": ["id,value,state\n17,{s},open\n18,,closed", "17;{s};open"],
    "line-broken": [
        "The value is\n{s}\nand nothing else.",
        "value: >-\n    {s}\n",
        "first line\r\n{s}\r\nlast line",
        "\t{s}\n",
    ],
    "markup": ["<td>{s}</td>", '<input value="{s}">', "<value><![CDATA[{s}]]></value>", "&quot;{s}&quot;"],
}
_ASSIGNED = {
    "env file": ["# production\n{n}={s}\nDEBUG=0\n", 'export {n}="{s}"', "{n}='{s}'\nPORT=80", "set {n}={s}"],
    "yaml": ["service:\n  {n}: {s}\n  port: 80", '{n}: "{s}"', "- name: {n}\n  value: {s}\n", "env:\n  - {n}={s}"],
    "toml and ini": ['[prod]\n{n} = "{s}"\n', "[default]\n{n} = {s}\nregion = eu-west-1"],
    "JSON text": [
        '{{"{n}": "{s}", "retries": 3}}',
        'response body: {{"data":{{"{n}":"{s}"}}}}',
        '```json\n{{\n  "{n}": "{s}"\n}}\n```',
    ],
    "source code": [
        "client = Client({n}='{s}')",
        'os.environ["{n}"] = "{s}"',
        "const {n} = `{s}`;",
        "{{'{n}': '{s}', 'b': None}}",
        '{n} := "{s}"',
    ],
    "command": [
        "docker run -e {n}={s} img",
        "gh secret set {n} --body {s}",
        "{n}={s} python run.py",
        "kubectl create secret generic x --from-literal={n}={s}",
    ],
    "colon": ["{n}: {s}", "the {n} is {s}", "{n} = {s}, please keep it", "{n} -> {s}"],
    "line-broken name": ["{n}:\n    {s}\n", "{n}=\\\n  {s}\n", '{n} = (\n    "{s}"\n)'],
}
_OF_KIND: dict[str, dict[str, list[str]]] = {
    "provider_key": {
        "curl": [
            'curl https://api.example.com/v1/x -H "Authorization: Bearer {s}"',
            "curl -u {s}: https://api.example.com",
            "curl 'https://api.example.com/x?key={s}&v=1'",
        ],
        "refused": [
            "401 Incorrect API key provided: {s}. You can find yours online.",
            "HTTPError: 403 for url: https://api.example.com/v1?token={s}",
        ],
    },
    "jwt": {
        "curl": [
            "curl -H 'Authorization: Bearer {s}' https://api.example.com/me",
            "curl -b 'session={s}; theme=dark' https://example.com",
        ],
        "refused": ["jose.exceptions.ExpiredSignatureError: {s}", "GET /callback#id_token={s}&state=x 302"],
    },
    "url_credentials": {
        "command": [
            "git clone {s}",
            "psql {s} -c 'select 1'",
            "git remote set-url origin {s}",
            "pip install --index-url {s} widgets",
        ],
        "refused": [
            "sqlalchemy.exc.OperationalError: could not connect to {s}",
            "fatal: unable to access '{s}/': 403",
            "Error: connect ECONNREFUSED {s}",
        ],
    },
    "auth_header": {
        "curl": [
            'curl -H "Authorization: {s}" https://api.example.com',
            "curl --header 'authorization: {s}' -X POST https://x.example.com",
            'wget --header="Authorization: {s}" u',
        ],
        "http": [
            "GET /v1/me HTTP/1.1\r\nHost: api.example.com\r\nAuthorization: {s}\r\nAccept: */*",
            "> Authorization: {s}\n> Accept: */*",
            "Proxy-Authorization: {s}",
        ],
        "source code": [
            "headers={{'Authorization': '{s}'}}",
            'requests.get(u, headers={{"Authorization": "{s}", "X": "1"}})',
            'req.Header.Set("Authorization", "{s}")',
        ],
        "JSON text": ['{{"headers": {{"Authorization": "{s}"}}}}', '{{"authorization":["{s}"]}}'],
        "refused": [
            "request headers: [('accept', '*/*'), ('authorization', '{s}')]",
            "Headers({{'authorization': '{s}'}})",
        ],
    },
    "generic_secret": {
        "curl": [
            "curl -H 'x-api-key: {s}' https://api.example.com",
            "curl -H 'api-key: {s}' u",
            "curl 'https://api.example.com/?api_key={s}&q=1'",
            "curl -d 'client_secret={s}&grant_type=x' u",
        ],
        "connection string": [
            "DefaultEndpointsProtocol=https;AccountName=acme;AccountKey={s};EndpointSuffix=core.windows.net",
            "Endpoint=sb://x.example.net/;SharedAccessKeyName=root;SharedAccessKey={s}",
        ],
        "prose with name": [
            "my API key is {s}",
            "the client secret is {s}, rotate it",
            "access token: {s}",
            "Here is the secret key: {s}",
        ],
    },
    "password": {
        "connection string": [
            "Server=tcp:db,1433;User ID=sa;Password={s};Encrypt=true",
            "host=db port=5432 user=app password={s} dbname=x",
            "jdbc:postgresql://db/x?user=app&password={s}",
        ],
        "curl": [
            "curl -u admin:{s} https://example.com",
            "curl -d 'username=anna&password={s}' https://example.com/login",
            "curl --user 'svc:{s}' https://example.com",
        ],
        "command with password": [
            "mysql -u root -p{s} shop",
            "sshpass -p '{s}' ssh root@10.0.0.4",
            "psql --password={s}",
            "redis-cli -a {s} ping",
            "deploy --password {s} --yes",
        ],
        "prose with name": [
            "my password is {s}",
            "Password: {s}",
            "username: anna\npassword: {s}",
            "the pw is {s}",
            "login with anna / password {s}",
            "the root password was {s}.",
        ],
        "other languages": [
            "Mein Passwort lautet {s}",
            "Passwort: {s}",
            "mot de passe : {s}",
            "contraseña: {s}",
            "пароль: {s}",
            "密码：{s}",
            "senha: {s}",
        ],
    },
    "email": {
        "mail": [
            "From: Anna S. <{s}>\nTo: support@widgets.example",
            "mailto:{s}?subject=Hello",
            "To: {s}, {s}",
            "Reply-To: {s}\r\n",
            "cc:{s};",
        ],
        "url": ["https://example.com/u?email={s}&x=1", "GET /users/{s} 200"],
        "prose with name": ["my e-mail is {s}", "Contact me at {s}.", "user {s} not found", "It's {s}, thank you"],
    },
    "phone": {
        "prose with name": [
            "call me on {s}",
            "My number is {s}.",
            "Phone: {s}",
            "Tel. {s}",
            "mobile {s} after six",
            "tel:{s}",
            "WhatsApp {s}",
            "Fax: {s}",
        ],
        "signature": ["Best,\nAnna\nT: {s}\nacme.example", "Anna S. | {s} | Berlin", "☎ {s}", "📞{s}"],
    },
    "card": {
        "prose with name": [
            "my card is {s}, exp 04/29",
            "Card number: {s} CVV 123",
            "charge {s} please",
            "cc {s}",
            "Visa {s} 12/27",
            "use the card {s}.",
        ],
    },
    "iban": {
        "prose with name": [
            "IBAN: {s}",
            "pay to {s} please",
            "my account is {s}.",
            "Bitte an {s} überweisen",
            "IBAN {s} BIC DEUTDEFF",
            "iban={s}",
        ],
    },
}
NEEDS_A_NAME = {"generic_secret", "password"}


def _templates(kind: str) -> dict[str, list[str]]:
    if kind in NEEDS_A_NAME:
        return {**_ASSIGNED, **_OF_KIND[kind]}
    if kind == "pem":
        return {
            wording: _ANYWHERE[wording] for wording in ("prose", "code block", "stack trace", "line-broken", "markup")
        } | _ASSIGNED
    if kind == "auth_header":
        return _OF_KIND[kind]
    if kind in {"phone", "card", "iban", "email"}:
        return {
            **_ANYWHERE,
            **{wording: _ASSIGNED[wording] for wording in ("yaml", "JSON text", "source code", "colon")},
            **_OF_KIND[kind],
        }
    return {**_ANYWHERE, **_ASSIGNED, **_OF_KIND[kind]}


def wordings_of(kind: str) -> list[str]:
    """Return the names of the wordings that a secret of `kind` can have; a private key also has its ways of being broken."""
    return [*_templates(kind), *(["one line", "indented", "cut off"] if kind == "pem" else [])]


def worded(rng: random.Random, wording: str, secret: Secret) -> str:
    """Return a text of `wording` that holds `secret`."""
    name = rng.choice(NAMES[secret.kind])
    text = secret.text
    if wording == "one line":
        return f'{name}="{json.dumps(text)[1:-1]}"\n'
    if wording == "indented":
        return f"{name}: |\n" + textwrap.indent(text, "    ") + "\nport: 80\n"
    if wording == "cut off":
        return f"$ cat id\n{text[: len(text) * 2 // 3]}\n... [output truncated]"
    if wording in {"JSON text", "source code"} and "\n" in text:
        text = json.dumps(text)[1:-1]
    return rng.choice(_templates(secret.kind)[wording]).format(s=text, n=name)
