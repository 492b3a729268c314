"""What commands print: tables, next steps, failures."""
