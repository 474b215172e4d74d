"""Reports for people and machines, all of them made from the report's data (`report.schema.json`) alone."""
