"""A city's day for the prefilter, simulated: riders with homes, works and habits pass the gates.

`config` is what the city is like, `people` who lives in it and travels, `memory` what the cloud
remembers of the weeks before, `day` the replay that asks at each passage whether the station held
the rider, `report` what it comes to. Everything is drawn from one seed; nothing here does I/O.
"""
