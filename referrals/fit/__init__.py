"""A fit: one program held against one participant, with what speaks for it, what speaks against it, what to check.

Programs of others become *offers*, those that fit first; none is hidden, and there is no score. What is not shared with
the reader counts as not known, so nothing can be read off the order. Whether a referral may begin, an agreement says;
the referral itself stands upstairs. The reasons are the program's to give (`program.models.fit`).
"""
