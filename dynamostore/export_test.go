package dynamostore

// SetBeforeUpsert sets a function that each Upsert calls before its conditional write.
func SetBeforeUpsert(s *Store, hook func()) { s.beforeUpsert = hook }
