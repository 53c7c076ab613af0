"""What should exist for a resource; pure rendering."""
