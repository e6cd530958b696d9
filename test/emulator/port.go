package emulator

import (
	"errors"
	"fmt"
	"syscall"
)

// ReservePort returns a port of 127.0.0.1 for a server that must be given one. A socket that is bound to the port and
// does not listen stays open until this program exits. As long as it does, Linux gives the port to no program that asks
// for any unused port. A server that asks for this port gets it, also after a restart, if it sets SO_REUSEADDR, as
// servers do.
func ReservePort() (int, error) {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		return 0, fmt.Errorf("reserve a port: %w", err)
	}
	syscall.CloseOnExec(socket)
	port, err := bind(socket)
	if err != nil {
		return 0, fmt.Errorf("reserve a port: %w", errors.Join(err, syscall.Close(socket)))
	}
	return port, nil
}

// bind binds a socket to an unused port, which it returns.
func bind(socket int) (int, error) {
	if err := syscall.SetsockoptInt(socket, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return 0, err
	}
	if err := syscall.Bind(socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, err
	}
	address, err := syscall.Getsockname(socket)
	if err != nil {
		return 0, err
	}
	return address.(*syscall.SockaddrInet4).Port, nil
}
