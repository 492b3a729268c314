"""Studies: arms compared at equal budgets, what was found, and how sure it is. No database, no Prefect."""
