"""How tables reach DuckDB, by one protocol: in this process, through the owner of the file, or in a bare run.

`local` owns a file and remembers answers (`query_cache`); `remote` sends every statement to the owner. `bare` is a
store in memory: it remembers answers, lets rows wait and follows values; its docstring says by which rule.
"""
