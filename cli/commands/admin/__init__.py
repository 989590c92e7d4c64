"""Commands about the installation and the recorded history, which ask no facade."""
