package dynamostore

// SetBeforeUpsert sets what is called in each Upsert before its conditional write.
func SetBeforeUpsert(s *Store, hook func()) { s.beforeUpsert = hook }
