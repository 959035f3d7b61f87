"""mixdesk."""
