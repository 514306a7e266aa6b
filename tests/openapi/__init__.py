"""The API's OpenAPI document, tried: by a linter, a generated client, a browser and a fuzzer.

``python -m tests.openapi write`` renews ``tests/project/openapi.json``; ``… lint`` lints it with
Redocly's CLI. What they need beside the environment is locked here: npm's in package-lock.json,
the client generator's in requirements.txt, since it and Sentinel want different versions of typer.
"""
