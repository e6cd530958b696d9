package cachedstore

// Stats are counts since the first client was built. A hit is not counted: that would cost more than the hit.
type Stats struct {
	Misses         int // Gets and GetAlls that were no hit
	Reads          int // reads of items and of whole collections that began
	Errors         int // of these, reads that failed, including those that took longer than ReadLimit
	Discarded      int // of these, reads during which an invalidation or a freeze came: kept as last known only
	BrokenRows     int // rows that reads of a whole collection found and could not decode
	StaleServes    int // Gets and GetAlls that returned a last known value: an outage, a failed read, or a short wait
	Invalidations  int // changes that were delivered
	InvalidateAlls int // calls of InvalidateAll
	Forgotten      int // unknown keys that were dropped to bound memory
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
