package cachedstore

// Stats are counts since the first client was built. Hits are not counted, because counting costs more than the hit.
type Stats struct {
	Misses         int // Gets and GetAlls that were not a hit
	Reads          int // reads of items and of whole collections that were started
	Errors         int // reads that failed, including those that took longer than ReadLimit
	Discarded      int // reads during which an invalidation, a Wake or a freeze came: not kept as fresh
	BrokenRows     int // rows that could not be decoded by reads of a whole collection
	StaleServes    int // Gets and GetAlls that returned a last known value: an outage, a failed read, or a short wait
	Invalidations  int // changes passed to Invalidate, or written by a client
	InvalidateAlls int // calls of InvalidateAll, and of a client's Init
	Forgotten      int // unknown keys that were removed to limit memory
	Entries        int // keys in memory now, including those that the table does not have
}

// statistics returns the counts.
func (c *cache) statistics() Stats {
	c.mu.Lock()
	defer c.unlock()
	stats := c.stats
	for _, coll := range c.collections {
		stats.Entries += coll.entries.Size()
	}
	return stats
}
