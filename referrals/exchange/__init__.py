"""Files from elsewhere, read in, and lists taken along as files; each foreign format has one pure file.

A *row* of a file (a CSV row, an HSDS service) goes in whole or not at all, as one act on record. What a source said is
kept whole beside what was made of it (`source_fields`), so that nothing is lost, a second run changes nothing, and what
somebody changed here is not overwritten by what the source goes on saying. The operator reads files in for the whole
installation, by the command line; an organization's administrator reads in what is the organization's own, by page or
JSON, and finds each file's *report* again. What leaves is read as its list reads it, and on record before it does.
"""
