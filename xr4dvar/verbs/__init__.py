"""The verbs: labelled arrays in, labelled arrays out; one file each, and what they share."""
