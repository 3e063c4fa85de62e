"""Pictures of what was measured. The only folder that imports matplotlib."""
