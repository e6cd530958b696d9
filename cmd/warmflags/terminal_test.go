//go:build linux

package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// openTerminal returns a terminal, and the side on which what is printed on it can be read.
func openTerminal(t *testing.T) (terminal, screen *os.File) {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	require.NoError(t, err)
	var number, unlocked uint32
	for request, value := range map[uintptr]*uint32{syscall.TIOCSPTLCK: &unlocked, syscall.TIOCGPTN: &number} {
		_, _, failed := syscall.Syscall(syscall.SYS_IOCTL, screen.Fd(), request, uintptr(unsafe.Pointer(value)))
		require.Zero(t, failed)
	}
	terminal, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { _ = terminal.Close(); _ = screen.Close() })
	return terminal, screen
}

func TestInterruptedBelowAClearedProgressBar(t *testing.T) {
	terminal, screen := openTerminal(t)
	ctx, interrupt := context.WithCancel(t.Context()) // what main does at SIGINT
	code := make(chan int, 1)
	go func() {
		p := program{terminal, terminal, func(string) string { return "" }, connectAWS}
		code <- p.run(ctx, "demo", "--changes", "1000000", "--consumers", "1", "--flags", "5")
		_, _ = fmt.Fprintln(terminal, "end")
	}()
	printed := bufio.NewReader(screen)
	bar, err := printed.ReadString(']')
	require.NoError(t, err)
	assert.Contains(t, bar, "[")
	interrupt()
	rest := ""
	for !strings.HasSuffix(rest, "end\r\n") {
		line, err := printed.ReadString('\n')
		require.NoError(t, err)
		rest += line
	}
	assert.Equal(t, 1, <-code)
	assert.True(t, strings.HasSuffix(rest, "\r\033[Kerror: interrupted\r\nend\r\n"), "%q", rest)
}
