"""The words of the simulated world: what people ask an assistant of a small company, and how it answers.

Belongs here: vocabulary per domain and the way requests and transcripts are put together from it. A domain shows in a
request only statistically: many use wording that any domain could have used, name things of another domain, or carry an
aside from one. What does not belong here: which arm is good at what, and which file a line goes to (``simulate.py``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any


@dataclass(frozen=True, slots=True)
class Task:
    """A request with what the loop never sees of it: its true domain and its difficulty in [0, 1]."""

    text: str
    domain: str
    difficulty: float


@dataclass(frozen=True, slots=True)
class DomainWords:
    """What requests of one domain tend to be made of, the usual first; ``{thing}`` and its like are filled in."""

    asks: tuple[str, ...]
    things: tuple[str, ...]
    details: tuple[str, ...]


def _listed(text: str) -> tuple[str, ...]:
    return tuple(" ".join(part.split()) for part in text.split("|"))


def _named(text: str) -> tuple[str, ...]:
    return tuple(" ".join(part.split()) for part in text.split(","))


WORDS: dict[str, DomainWords] = {
    "calculation": DomainWords(
        asks=_listed("""
            What do {count} {thing} at {amount} each come to, before and after {percent} percent tax? |
            How much is {percent} percent of {amount}, rounded to the cent? |
            Work out the margin on the {thing} if we buy at {amount} and sell {percent} percent higher. |
            Convert {amount} euros into pounds at today's rate, for the {thing}. |
            Split {amount} between {count} teams in proportion to their {thing}. |
            By how many percent did the {thing} grow from {count} to {amount}? |
            What is the average of the {thing} over {count} weeks if the sum is {amount}? |
            How many pallets do we need for {count} {thing} if {percent} fit on one?"""),
        things=_named("""
            boxes, hourly rates, kilometres, instalments, discounts, litres, square metres, overtime hours, pallets,
            invoices, fees, exchange rates, unit prices, commissions, budgets, energy bills, rents, samples, tariffs,
            deposits"""),
        details=_listed("""
            The discount comes off before the tax. | Use the rate of {date}, not the yearly average. |
            The total on the sheet says {amount}, and that cannot be right. | Half a unit counts as a whole one. |
            Please show the sum as well as the result."""),
    ),
    "order-lookup": DomainWords(
        asks=_listed("""
            Where is order {number} right now, {who} wants to know? | Has {who} paid invoice {number} yet? |
            How many {thing} do we still have in stock? |
            Which address did we send the {thing} of order {number} to? | When will the {thing} for {who} arrive? |
            What is the current price of the {thing} in the catalogue? |
            Find the tracking number of the {thing} that left {when}. |
            Is delivery {number} complete, or are {count} {thing} missing?"""),
        things=_named("""
            parcels, desk lamps, filters, cartons, spare parts, toner cartridges, chairs, cables, delivery notes,
            invoices, sensors, batteries, shelves, gaskets, samples, brackets, adapters, labels, valves, pallets"""),
        details=_listed("""
            The carrier says it was handed over {when}. | The number on the slip is {number}. |
            The warehouse shows {count} left, the shop shows none. | It should have been shipped {when}. |
            Only the status is needed, no letter."""),
    ),
    "refunds": DomainWords(
        asks=_listed("""
            {Who} wants the money back for the {thing}, please take it from here. |
            Handle the return of {count} {thing} that came broken. |
            Issue a credit note of {amount} for order {number}. |
            {Who} was charged twice for the {thing}, put that right. |
            The {thing} arrived too late and {who} cancels: what happens next? |
            Take back the {thing} although the box is open. | Reimburse {who} for the {thing}, {amount} in all. |
            Exchange the {thing} from order {number} for the larger size."""),
        things=_named("""
            headphones, kettles, jackets, vouchers, deposits, chairs, subscriptions, parcels, coffee machines,
            desk lamps, gift cards, shoes, monitors, courses, warranties, tickets, backpacks, spare parts, fees,
            blenders"""),
        details=_listed("""
            The receipt is there, the packaging is not. | It was bought {when}, so just inside the period. |
            They paid by card and ask for cash. | Photos of the damage are attached. |
            A replacement was offered and declined."""),
    ),
    "onboarding": DomainWords(
        asks=_listed("""
            A new colleague starts on {date}, get everything ready. | Set up the {thing}, {who} joins on {date}. |
            What is still open before the trainee can use the {thing}? |
            Order the {thing} for {count} people starting on {date}. |
            {Who} changes departments, move the {thing} over. |
            The temp leaves on {date}: withdraw the {thing} and close everything. |
            Prepare the first week in {place} with all the {thing}. |
            Give {who} access to the {thing} the way we always do."""),
        things=_named("""
            laptops, badges, keys, contracts, accounts, permissions, safety briefings, headsets, payroll forms,
            welcome packs, parking permits, training slots, phones, licences, mailing lists, desks, shared folders,
            monitors, tickets, manuals"""),
        details=_listed("""
            The contract has been signed {when}. | The desk in {place} is still taken. |
            The works council has to be told first. | It is a part-time position of {count} hours. |
            The manager is away until {date}."""),
    ),
    "past-decisions": DomainWords(
        asks=_listed("""
            What did we settle on for the {thing} back then? | Why did we turn down the {thing} from {who}? |
            Which of the {count} offers for {thing} did we take {when}, and on what grounds? |
            Remind me how we dealt with the {thing} last time. | Was the limit of {amount} for {thing} ever changed? |
            Who signed off the {thing} {when}? | We had this discussion about {thing} before: what came out of it? |
            Do the same with the {thing} as we agreed with {who} {when}."""),
        things=_named("""
            tariffs, maintenance contracts, trade fairs, price lists, cleaning services, bonus rules, suppliers,
            licences, budgets, opening hours, insurance policies, payment terms, logos, packaging, leases,
            hiring plans, discounts, deadlines, warranties, home office days"""),
        details=_listed("""
            It must have been the meeting {when}. | I only remember that {who} was against it. |
            The minutes are somewhere in the shared folder. | There were {count} votes for it. |
            Nobody wants to go through all of that again."""),
    ),
    "customer-history": DomainWords(
        asks=_listed("""
            Has {who} complained about the {thing} before? | What special terms does {who} have on {thing}? |
            Which {thing} did {who} take last year? | How did we calm {who} down when the {thing} failed {when}? |
            Is this the same fault in the {thing} that {who} reported {when}? |
            What do we know about {who} and the {thing}? |
            Since when has {who} been getting {percent} percent off the {thing}? |
            Pick up the thread with {who} about the {thing} where we left it."""),
        things=_named("""
            complaints, service visits, price agreements, filters, pumps, installations, reminders, subscriptions,
            contracts, coffee machines, payment terms, warranties, calls, deliveries, gaskets, pilot projects,
            quotes, sensors, tickets, upgrades"""),
        details=_listed("""
            They have been with us for {count} years. | The last visit was {when}. |
            They are sensitive about being asked twice. | Their contact changed {when}. |
            It came up on the phone with {who}."""),
    ),
    "writing": DomainWords(
        asks=_listed("""
            Write a friendly reply to {who} about the {thing}. |
            Make this notice about the {thing} shorter and less stiff. |
            Draft {count} lines for the newsletter on our {thing}. |
            Put the minutes on the {thing} into plain language. |
            Translate the paragraph on {thing} into French for {who}. |
            Find a better headline for the page about {thing}. |
            Summarise the report on the {thing} in {count} sentences. |
            Write a polite second reminder to {who} for {amount}."""),
        things=_named("""
            summer party, new catalogue, delays, opening hours, trade fairs, price lists, website, anniversary,
            job adverts, workshops, reminders, product launch, flyers, apologies, invitations, surveys, complaints,
            quotes, brochures, courses"""),
        details=_listed("""
            It should sound warm without begging. | No longer than {count} lines, please. |
            The last text was far too formal. | {Who} reads it on a phone. | Avoid words like synergy."""),
    ),
    "policy": DomainWords(
        asks=_listed("""
            Are we allowed to accept {thing} worth {amount} from {who}? | How long do we have to keep the {thing}? |
            Who has to approve {thing} above {amount}? | May {who} take the {thing} home? |
            What does the handbook say about {thing}? | Do {thing} count as working time? |
            How many days before {date} must {thing} be handed in? |
            Is it permitted to pay the {thing} privately first?"""),
        things=_named("""
            gifts, sick notes, expense claims, overtime hours, company cars, side jobs, recordings, receipts,
            laptops, home office days, training slots, parental leave, data exports, visitors, contracts, purchases,
            per diems, photos, parking permits, keys"""),
        details=_listed("""
            The handbook was revised {when}. | In {place} they seem to do it differently. |
            The works council asked about it. | I would like the paragraph as well. |
            Last year the limit was {amount}."""),
    ),
    "travel": DomainWords(
        asks=_listed("""
            Find a way to be in {place} by {date} without flying. |
            Suggest {count} hotels near {thing} in {place} under {amount} a night. |
            Plan the trip of {who} to {place} with {thing} on the second day. |
            Which train to {place} leaves on {date} and has {thing}? |
            Rebook the journey to {place}, the {thing} moved to {date}. |
            What is the cheapest way to bring {count} people to {place}? |
            Put together the timetable for {place} including the {thing}. |
            Is there time for the {thing} between two trains in {place}?"""),
        things=_named("""
            trade fairs, factory tour, conference, seat reservations, airport, workshops, client dinner, rental cars,
            night trains, visas, luggage, parking permits, per diems, tickets, breakfast, meeting rooms, ferries,
            customs, harbour, site visit"""),
        details=_listed("""
            {Who} does not like early starts. | There is a strike announced for {date}. |
            The hotel should be within walking distance. | We have {amount} for the whole trip. |
            Two of them come from {place}."""),
    ),
    "spreadsheets": DomainWords(
        asks=_listed("""
            Which formula counts the {thing} that are older than {count} days? |
            The column with the {thing} shows errors instead of sums, why? |
            How do I join the two sheets with {thing} on the number? |
            Make a pivot of the {thing} per month and {place}. |
            Colour every row in which the {thing} exceed {amount}. |
            Remove the duplicates among the {thing} but keep the newest. |
            The dates of the {thing} are text since the import {when}, fix that. |
            Write a macro that splits the {thing} by department."""),
        things=_named("""
            invoices, stock levels, overtime hours, budgets, survey answers, unit prices, addresses, forecasts,
            complaints, expense claims, serial numbers, timesheets, exports, rents, sales figures, deliveries,
            targets, balances, attendance lists, commissions"""),
        details=_listed("""
            The file has {amount} rows and is slow. | There is a hidden column in between. |
            It worked until the import {when}. | {Who} must be able to open it too. | No add-ins, please."""),
    ),
    "composite": DomainWords(
        asks=_listed("""
            Check the {thing} of {who}, compare them with what was agreed {when} and propose a reply. |
            Go through the {count} {thing}, work out what each costs us and recommend one. |
            Prepare the meeting with {who}: open {thing}, figures since {date}, and a plan for {place}. |
            Find out why the {thing} cost {percent} percent more, and write it up for the board. |
            Combine the {thing} from all {count} sites, explain the outliers and draft the next steps. |
            Look up the {thing}, calculate the effect of {percent} percent more and plan the change until {date}. |
            Weigh the {thing} against leasing over {count} years and prepare a decision for {who}. |
            Reconcile the {thing} with the bank, list what is off and write to {who} about it."""),
        things=_named("""
            offers, suppliers, contracts, energy bills, invoices, sales figures, complaints, deliveries, budgets,
            maintenance contracts, forecasts, price lists, quotes, leases, stock levels, trade fairs,
            insurance policies, survey answers, hiring plans, tariffs"""),
        details=_listed("""
            The board meets on {date}. | Half of the data is with {who}. | Keep an eye on the cost and on the mood. |
            In {place} the numbers come in a different form. | One page at most, with the reasons."""),
    ),
}

# Wording that any domain may use: it names a thing and no purpose.
_VAGUE_ASKS = _listed("""
    Can you take care of the {thing} for {who}? | {Who} is asking about the {thing} again, what do I answer? |
    I need something on the {thing} by {date}. | What is the situation with the {thing}? |
    Please have a look at the {thing}, number {number}. | There is a question about the {thing} and {amount}. |
    Could you help me with the {thing} in {place}? | Something is wrong with the {thing}, {who} called {when}. |
    How do we proceed with the {count} {thing}? | The {thing} again: {who} expects an answer by {date}.""")
_OPENINGS = _listed("""
    Good morning. | Quick one. | Hi, I am just back from {place}. | Sorry to bother you again. |
    {Who} is on the phone. | This came in {when}. | Before I forget. | Next thing on my list.""")
_CLOSINGS = _listed("""
    Thanks! | It is rather urgent. | No hurry, {date} is fine. | I will forward it to {who}. | Short answer, please. |
    Tell me if something is missing. | I have to send it out on {date}. | Many thanks in advance.""")
_COMPLICATIONS = _listed("""
    Mind that {count} of them were changed halfway. | There are exceptions for {place}. |
    The two sources contradict each other by {amount}. | Above {amount} another rule applies. |
    Do it separately for each of the {count} locations. | What we told {who} {when} was not quite correct. |
    Part of it was reordered under number {number}. | Depending on the outcome {who} has to be involved.""")
_WHO = _named("""
    the customer, our supplier, the accountant, the landlord, the branch manager, a trainee, the carrier, head office,
    the sales team, a regular client, the tax office, the new partner, the warehouse, the agency, a subcontractor""")
_WHEN = _named("""
    yesterday, last Tuesday, on Friday, in March, two weeks ago, at the end of last month, before the holidays,
    last week, last autumn, this morning, at the start of the quarter, on the 14th, in the spring, on Monday""")
_DATES = _named("Monday, Tuesday, Thursday, Friday, the 3rd, the 8th, the 14th, the 21st, the 30th, the 1st")
_PLACES = _named("Lyon, Hamburg, Porto, Leeds, Bologna, Ghent, Aarhus, Graz, Bilbao, Gdańsk, Zürich, Malmö, Cork, Brno")
DOMAINS = tuple(WORDS)

_VAGUE_RATIO = 0.25
_FOREIGN_THING_RATIO = 0.20
_OWN_DETAIL_RATIO = 0.78
_FOREIGN_DETAIL_RATIO = 0.2

_ANSWERS = _listed("""
    Here is what I found: the {thing} are settled, the figure to use is {amount}, and {who} has what is needed. |
    Done. I went through the {thing} and noted {number} as the reference; nothing else is open. |
    For the {thing} the answer is {amount}. I would tell {who} so, and come back to it on {date}. |
    I have prepared it: {count} points on the {thing}, the first one for {who}, the others can wait until {date}. |
    In short: yes for the {thing}, with {percent} percent as the limit, as long as {who} agrees. |
    The {thing} were handled under number {number}; {who} gets the confirmation by {date}.""")
_LAME_ANSWERS = _listed("""
    I am not certain about the {thing}; it may be {amount}, but please check with {who}. |
    I could not find anything reliable on the {thing} and can only give a general answer. |
    This depends. Somebody should look at the {thing} again on {date}.""")
_RESULTS = _listed("""
    ok: {count} rows on {thing} | value {amount}, reference {number} | nothing on {thing} since {date} |
    record {number}: {thing}, {who}, {amount} | done for {count} of {count} | {percent} percent, valid from {date}""")
_ERRORS = _listed("""
    timeout after 30 s | the record is locked by another session | 404: no such reference | rate limit reached |
    could not parse the date | permission denied on the shared folder""")
_RATIONALES = _listed("""
    the figures for the {thing} are recent enough | {who} needs a clear answer by {date} | no source contradicts it |
    cheaper than asking {who} again | reference {number} covers the {thing}""")
_THANKS = _listed("Perfect, that is what I needed. | Thanks, sent on. | Good, one thing less. | Great, and so quickly.")
_GRUMBLES = _listed("""
    That is not what I asked. | Hm, I will do it by hand then. | Are you sure? | This does not help me much.""")
_TOOLS = {
    "model": ("search_documents", "read_sheet"),
    "tool": ("query_records", "calculate"),
    "skill": ("open_checklist", "tick_step"),
    "memory": ("recall_cases", "open_case"),
}


def _fill(rng: Random, template: str, thing: str) -> str:
    """Fill the slots of a template; every slot is drawn each time, whether the template has it or not."""
    draw = rng.random
    who = _WHO[int(draw() * len(_WHO))]
    return template.format(
        thing=thing,
        who=who,
        Who=who[0].upper() + who[1:],
        when=_WHEN[int(draw() * len(_WHEN))],
        date=_DATES[int(draw() * len(_DATES))],
        place=_PLACES[int(draw() * len(_PLACES))],
        count=2 + int(draw() * 58),
        percent=1 + int(draw() * 39),
        amount=f"{10 ** (1 + 3 * draw()):.0f}" + (".50" if draw() < 0.2 else ""),
        number=10_000 + int(draw() * 89_999),
    )


def _pick(rng: Random, options: tuple[str, ...]) -> str:
    return options[int(rng.random() * len(options))]


def _pick_usual(rng: Random, options: tuple[str, ...]) -> str:
    """Pick with a preference for the front of the list: some requests come every day, others once in a while."""
    return options[int(rng.random() ** 2 * len(options))]


def draw_requests(rng: Random, domain_shares: Sequence[float], count: int) -> list[Task]:
    """Draw requests; ``domain_shares`` are weights in the order of DOMAINS, difficulty is uniform."""
    tasks = []
    for domain in rng.choices(DOMAINS, weights=domain_shares, k=count):
        difficulty = rng.random()
        tasks.append(Task(write_request(rng, domain, difficulty), domain, difficulty))
    return tasks


def write_request(rng: Random, domain: str, difficulty: float) -> str:
    """Write a request of about 10 to 60 words; a harder one (difficulty in [0, 1]) tends to carry complications."""
    own = WORDS[domain]
    draw = rng.random
    foreign = WORDS[_pick(rng, DOMAINS)]
    thing = _pick_usual(rng, foreign.things if draw() < _FOREIGN_THING_RATIO else own.things)
    parts = [_pick(rng, _VAGUE_ASKS) if draw() < _VAGUE_RATIO else _pick_usual(rng, own.asks)]
    if draw() < _OWN_DETAIL_RATIO:
        parts.append(_pick_usual(rng, own.details))
    if draw() < _FOREIGN_DETAIL_RATIO:
        parts.append(_pick(rng, foreign.details))
    parts.extend(_pick(rng, _COMPLICATIONS) for _ in range(2) if draw() < 0.05 + 0.7 * difficulty)
    rng.shuffle(parts)
    if draw() < 0.3:
        parts.insert(0, _pick(rng, _OPENINGS))
    if draw() < 0.3:
        parts.append(_pick(rng, _CLOSINGS))
    return " ".join(_fill(rng, part, thing) for part in parts)


def tell_transcript(rng: Random, task: Task, arm_kind: str, *, looks_good: bool) -> list[dict[str, Any]]:
    """Return what one attempt leaves in the log, the request first: messages, tool calls, errors, decisions.

    No ids and no stamps. What looks good answers to the point; what does not is unsure, and often met an error.
    """
    named = tuple(thing for thing in WORDS[task.domain].things if thing in task.text)
    thing = _pick(rng, named or WORDS[task.domain].things)
    tools, (fewest, most) = _TOOLS[arm_kind], (2, 2) if looks_good else (0, 3)
    events: list[dict[str, Any]] = [{"type": "message", "role": "user", "content": task.text}]
    for number in range(rng.randint(fewest, most)):
        result = _fill(rng, _pick(rng, _RESULTS), thing)
        call = {"tool": tools[number % 2], "args": {"query": thing}, "result": result}
        events.append({"type": "tool_call"} | call)
    if rng.random() < (0.04 if looks_good else 0.5):
        events.append({"type": "error", "error": _pick(rng, _ERRORS), "context": tools[0]})
    if rng.random() < 0.6:
        rationale = _fill(rng, _pick(rng, _RATIONALES), thing)
        events.append({"type": "decision", "decision": f"answer from {tools[0]}", "rationale": rationale})
    answer = _fill(rng, _pick(rng, _ANSWERS if looks_good else _LAME_ANSWERS), thing)
    confidence = round(rng.uniform(0.75, 0.97) if looks_good else rng.uniform(0.2, 0.7), 2)
    events.append({"type": "message", "role": "assistant", "content": answer, "confidence": confidence})
    if rng.random() < 0.3:
        reply = _pick(rng, _THANKS if looks_good else _GRUMBLES)
        events.append({"type": "message", "role": "user", "content": reply})
    return events


def spoil_line(line: bytes) -> dict[str, bytes]:
    """Return the ways in which a writer spoils a line of the log, each still ended by one newline."""
    return {
        "half_written": line[: len(line) // 2] + b"\n",
        "invalid_utf8": line.replace(b'": "', b'": "\xff\xfe', 1),
        "nan_reward": b'{"type": "outcome", "success": true, "reward": NaN}\n',
        "two_objects": line.rstrip(b"\n") + line,
        "unknown_type": b'{"type": "heartbeat", "note": "still here"}\n',
    }
