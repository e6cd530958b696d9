package flagsync

// SetMaxEventBytes sets the maximum size of an event and returns a function that restores the old one.
func SetMaxEventBytes(n int64) (restore func()) {
	before := maxEventBytes
	maxEventBytes = n
	return func() { maxEventBytes = before }
}

// ParseEvent parses an event, for the fuzz target.
func ParseEvent(event, data string) error {
	_, err := parseEvent(event, data)
	return err
}
