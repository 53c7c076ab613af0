"""What should happen next to a resource; pure decisions."""
