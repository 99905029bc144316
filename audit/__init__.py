"""The log of every shared act and every recorded look, kept so that neither side can quietly change it.

What the log promises. Code and tests cite these numbers; "kept" says what this release already does, "to come" what
arrives with the tree, the witnesses and the verifier.

L1  Nothing unrecorded. A change and its event commit together or not at all, and a look at a participant's data sends
    no byte before its event has committed. Kept: `log.append` writes inside the caller's transaction, and any error in
    it ends the act. That every act passes there is the kernel's part.
L2  Refusals count. A refused act (403, 404 by policy, 409 by a named rule, a failed sign-in) is an event like one that
    was done. Kept: the body tells `done`, `refused` and `failed` apart, with a stable code.
L3  Append-only. No role of the running service changes or removes a row; the database itself refuses. Kept: triggers on
    SQLite and PostgreSQL, grants where the roles exist, and `log.missing_guards` names whatever is absent.
L4  Whole. An event changed, removed, inserted, moved, back-dated or cut off is found without our server, and the first
    bad place is named. To come; the bytes that will be judged and their leaf hashes are final and stored now.
L5  Ordered, soon. If A committed before B first wrote, A comes first in the tree, within 1.5 s of commit. To come; the
    order's raw material (an identity, and on PostgreSQL the transaction id) is stored now.
L6  One history, held by both sides. Two histories are never signed by an honest host, and a dishonest one hands any
    witness the proof. To come.
L7  Bracketed time. Every event lies between two witness times. To come; an event's id and time already come from one
    clock reading, and `log.newest_at` lets a clock that fell behind be stopped.
L8  No content. A body holds ids, codes, counts and digests, never what was said or who somebody is; detail is sealed
    under the participant's own key, so destroying that key changes no hash. Kept: the schema accepts
    nothing that looks like prose, save in `set`, the new values of columns that the kernel classed public.
L9  Provable apart. The verifier is one file without our imports and counts for itself. To come.
L10 Readers are read. Each query, export and verification of the log is an event, and nobody signs off a review of their
    own acts. The body carries it now; recording it is the oversight room's part.

Not promised: seeing a read made by raw SQL; the truth of what was typed; a writer's last waiting event, if someone
removes it and undoes its rows before the tree has it.
"""
