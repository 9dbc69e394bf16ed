"""The command line: `main` is the way in and out, then one file a command (parse, call, print).

What they share: `lazy` (commands imported when called), `errors` (messages and exit codes), `options` and
`parsing` (what may follow a command), `output` (documents and tables), `numbers` (values in words), `findings`
(rules' verdicts), `progress` and `remaining` (what a person sees while waiting).
"""
