"""The report's claims at other times: stretches of prices as the unit of a bootstrap."""
