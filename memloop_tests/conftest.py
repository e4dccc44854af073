"""What holds for every test: hypothesis looks at the same examples on every machine, and times none of them."""

from hypothesis import settings

settings.register_profile("memloop", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("memloop")
