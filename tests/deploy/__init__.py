"""The files of config/ with which it is deployed, each taken as those take it for whom it is written."""
