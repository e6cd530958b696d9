// Package example builds the programs of ../../examples, and runs those that serve HTTP.
package example

import (
	"bufio"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// Build builds programs as they are deployed and returns their folder. root is the root of the repository.
func Build(t *testing.T, root string, programs ...string) (folder string) {
	t.Helper()
	folder = t.TempDir()
	command := exec.Command("go", "build", "-tags=lambda.norpc", "-o", folder+"/")
	for _, program := range programs {
		command.Args = append(command.Args, "./"+program)
	}
	command.Dir = filepath.Join(root, "examples")
	out, err := command.CombinedOutput()
	require.NoError(t, err, "%s", out)
	return folder
}

// Start runs a program that serves HTTP. It returns a function that evaluates the program's flag for ada, "true" or
// "false", and a function that ends the program by a signal and waits for it.
func Start(t *testing.T, program string, environment ...string) (evaluate func() string, stop func()) {
	t.Helper()
	command := exec.Command(program)
	command.Env = append(environment, "ADDRESS=127.0.0.1:0")
	log, err := command.StderrPipe()
	require.NoError(t, err)
	require.NoError(t, command.Start())
	t.Cleanup(func() { _ = command.Process.Kill() })
	url, said := "", ""
	for lines := bufio.NewScanner(log); url == "" && lines.Scan(); said += lines.Text() + "\n" {
		if _, address, ok := strings.Cut(lines.Text(), "listening on "); ok {
			url = "http://" + address + "/?user=ada"
		}
	}
	require.NotEmpty(t, url, said)
	copied := make(chan struct{})
	go func() {
		defer close(copied)
		_, _ = io.Copy(t.Output(), log)
	}()
	evaluate = func() string {
		response, err := http.Get(url) //nolint:gosec // the URL of the program
		require.NoError(t, err)
		defer response.Body.Close()
		body, err := io.ReadAll(response.Body)
		require.NoError(t, err)
		return strings.TrimSpace(string(body))
	}
	return evaluate, func() {
		require.NoError(t, command.Process.Signal(syscall.SIGTERM))
		<-copied
		require.NoError(t, command.Wait())
	}
}
