"""What sets universal neurons apart, from finished tables (docs/properties.md)."""
