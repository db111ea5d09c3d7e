"""`python -m tests.curvature.zoo` writes the zoo's table into docs/own-model.md."""

from tests.curvature.zoo.table import write_page

write_page()
