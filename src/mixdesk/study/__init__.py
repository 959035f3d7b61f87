"""The population: the record, the live study, its runner and the importer."""
