"""HTML templates (Jinja2) and the one style sheet; every value is escaped by the template."""
