"""What the public sees: static pages."""
