"""Throughgate: corrections agencies and community organizations look after one person's way home, together.

A *room* is a concept with the same few files (models, policy, queries, commands, web). Rooms stand on floors and import
only downward. From the top: `home` and `portal` read across rooms; `oversight`, `reporting`, `exchange`; `worklist`,
`reminder`; `disclosure`; `checkin`, `handoff`; `engagement`; `referral`; `fit`; `boundary`; `release`; `consent`;
`council`; `person`; `partnership`; `program`; `staff`; `integration`, `recovery`, `single_sign_on`; `factor`;
`sign_in`, `mail`, `view`; `code_sheet`, `passkey`, `issuer`; `account`; `organization`; and under all of them
`kernel`, which owns the one path by which anything is read or written.
"""
