"""Home: what waits on me, and finding something. Reads across rooms, owns no table.

One person, one question at a time: what is waiting on me, and what happens next? The first block is always "Needs you".
"""
