"""Checks, results, history.

The way of the data, one module a step::

    schedule   which slots are due: a pure function of (id, interval, time)
    due        a tick's statement: what is due, what of it is batched, what is shed
    dispatch   a sweep: due slots become Batch rows, then messages
    settling   overdue batches: enqueued again, or their slots recorded as missed
    claiming   one batch: taken by one worker, its targets loaded
    checking   its targets probed together, the outcomes handed on
    admission  as many begun at once as the loop can attend to
    probes     one check: probe(target, deadline) -> Outcome; plain Python
    recorder   what has ended, in chunks, in a thread beside the loop
    recording  outcomes become Result rows, once
    folding    new rows move DomainState, in the order of their slots
    hindsight  those that come after newer ones put the transitions before these right
    verdict    (state, outcome) -> state, transition?; a pure function
    history    what people read: pages, present states
    by_state   which domains are in a state, for lists of them
    accounting  the ledger's equation, by minute, domain and location
    crew       what the processes of workers say of themselves
    verification  whether it holds, slot by slot; gauges: the last hour of it
    rolling    closed hours become 5-minute and hourly buckets, whole days daily ones
    rollups    counts and percentiles over spans, of buckets and of raw rows at the edges
    transitions  changes of states: newest first, or as a feed that misses none
    downtimes  the incidents of a domain; what they are is a pure function, in incidents
    retention  partitions made ahead, dropped behind; old transitions deleted
    bereft     daily buckets of domains that were deleted

``ledger``, ``packing``, ``arrays``, ``partitions`` and ``partitioned`` are the floor under
dispatch, settling and recording: the statements that insert a result row exactly once, how it
is stored and read, and the tables that hold it. ``results``, ``buckets`` and ``models`` say what
stands in them.
Under the roll-ups, ``closing`` says which hours are due and which once more, ``samples`` reads
their raw rows, and ``tallies``, ``fine`` and ``sketches`` are what they become: plain values
that merge. ``own_addresses`` keeps checks off the cluster's own services. ``tasks`` and
``api`` are the doors.
"""
