package main

import (
	"net"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/rogpeppe/go-internal/testscript"
)

// isolate hides this machine's AWS configuration from a script: it has no credentials, no file and no metadata service.
func isolate(env *testscript.Env) {
	for name, value := range map[string]string{
		"AWS_REGION": region, "AWS_CONFIG_FILE": os.DevNull, "AWS_SHARED_CREDENTIALS_FILE": os.DevNull,
		"AWS_EC2_METADATA_DISABLED": "true", "NO_PROXY": "*",
	} {
		env.Setenv(name, value)
	}
}

func realAWS(ts *testscript.TestScript, _ bool, _ []string) { accountOf(ts).real = true }

func awsAnswers(ts *testscript.TestScript, _ bool, args []string) {
	status, body := atoi(ts, args[0]), ts.ReadFile(args[1])
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body)) // the client may be gone
	}))
	ts.Defer(server.Close)
	ts.Setenv("AWS_ENDPOINT_URL", server.URL)
	ts.Setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
	ts.Setenv("AWS_SECRET_ACCESS_KEY", "example")
	accountOf(ts).real = true
}

// closedPort takes a connection's own port: nothing listens at it, and no other process gets it while the connection is
// open.
func closedPort(ts *testscript.TestScript, _ bool, args []string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() { _ = listener.Close() })
	connection, err := net.Dial("tcp", listener.Addr().String())
	ts.Check(err)
	ts.Defer(func() { _ = connection.Close() })
	ts.Setenv(args[0], "http://"+connection.LocalAddr().String())
}
