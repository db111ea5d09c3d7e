"""The reproduction: the report's experiments over several seeds, and a verdict on each claim.

    plan -> run -> records -> judge -> report

`plan` lists the trainings and `records` defines what is kept of each. `run` trains,
`judge` turns records into verdicts, `report` draws tables, figures and the page. Only
`run` trains anything. The claims and their rules were fixed before the first run.
"""
