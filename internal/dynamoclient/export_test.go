package dynamoclient

// SetECSEndpoint replaces the address of ECS's credentials endpoint, and returns a function that restores it.
func SetECSEndpoint(url string) (restore func()) {
	old := ecsEndpoint
	ecsEndpoint = url
	return func() { ecsEndpoint = old }
}
