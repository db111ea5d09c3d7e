"""The reproduction: the report's experiments over seeds, and a verdict on every claim.

    plan -> sweep of tasks -> records -> statistics -> verdicts -> results

`plan` says what is trained, `running` trains one task, `sweep` all of them;
`claims` says what the report says, and is fixed before anything is run; the rest
reads records, and trains nothing.
"""
