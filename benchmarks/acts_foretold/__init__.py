"""What is said of acts before they are done, against what then comes."""
