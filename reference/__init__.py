"""The pages that are written from the code when the documentation is built, and what MkDocs asks on the way.

`python -m mkdocs build --strict` (`make docs`) builds the site; `mkdocs.yml` names `reference/hooks.py`. Nothing that
is installed imports this folder.
"""
