package emulator_test

import (
	"fmt"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/test/emulator"
)

// A server can listen on a reserved port more than once, and meanwhile the port is in use for any other socket.
func TestAReservedPortIsHeldForItsServer(t *testing.T) {
	port, err := emulator.ReservePort()
	require.NoError(t, err)
	for range 2 {
		server, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		require.NoError(t, err)
		require.NoError(t, server.Close())

		other, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
		require.NoError(t, err)
		err = syscall.Bind(other, &syscall.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
		assert.ErrorIs(t, err, syscall.EADDRINUSE)
		require.NoError(t, syscall.Close(other))
	}
}
