"""Studies at work: what each compares, and how its trials are carried out. Knows no Prefect."""
