"""What the docs site is made with beside the pages in docs/: reference from the code, and links.

Not part of what is installed: `make docs` and tests/docs_site use it.
"""
