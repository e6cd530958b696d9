package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// gate stands between MiniStack and all that call it over TLS, as it makes MiniStack believe: it notes which IAM
// actions each function needs, and a test can put itself in the way of a call.
type gate struct {
	server *httptest.Server
	target atomic.Pointer[url.URL]

	mu     sync.Mutex                 // guards all below
	who    map[string]string          // function, by access key
	made   map[string]map[string]bool // actions, by function
	before func(c call) (status int)  // nil: nothing is in the way
	after  func(c call)               // nil: nothing happens after a call
}

// call is one call of a function.
type call struct{ function, action string }

func newGate() *gate {
	g := &gate{who: map[string]string{}, made: map[string]map[string]bool{}}
	proxy := &httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(g.target.Load())
			r.Out.Host = r.In.Host                         // the signature covers it
			r.Out.Header.Set("X-Forwarded-Proto", "https") // aws:SecureTransport: the gate ends TLS, as it were
		},
		// The caller is gone.
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, _ error) { w.WriteHeader(http.StatusBadGateway) },
	}
	g.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		c := call{function: g.function(r.Header.Get("Authorization"))}
		g.mu.Lock()
		if g.made[c.function] == nil {
			g.made[c.function] = map[string]bool{}
		}
		for _, action := range actions(r.Header.Get("X-Amz-Target"), body) {
			g.made[c.function][action] = true
			c.action = action
		}
		before, after := g.before, g.after
		g.mu.Unlock()
		if before != nil {
			if status := before(c); status != 0 {
				w.WriteHeader(status)
				return
			}
		}
		proxy.ServeHTTP(w, r)
		if after != nil {
			after(c)
		}
	}))
	return g
}

// config is what clients of the account's root are made from, over TLS.
func (g *gate) config() aws.Config {
	config := world.cloud.Config()
	config.BaseEndpoint = aws.String(g.server.URL)
	return config
}

// inTheWay has before called for each call, which is answered with its status unless that is 0, and after when it was
// made.
func (g *gate) inTheWay(before func(call) int, after func(call)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.before, g.after = before, after
}

// actionsOf are the IAM actions that functions of this logical ID needed so far.
func (g *gate) actionsOf(logicalID string) []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	all := map[string]bool{}
	for function, made := range g.made {
		if strings.Contains(function, "-"+logicalID+"-") {
			maps.Copy(all, made)
		}
	}
	return slices.Sorted(maps.Keys(all))
}

var services = map[string]string{"DynamoDB_20120810": "dynamodb", "AmazonSQS": "sqs", "AmazonSSM": "ssm"}

// actions are what IAM asks of a call: a batch is its single action, a transaction all that is in it.
func actions(target string, body []byte) []string {
	service, operation, isJSON := strings.Cut(target, ".")
	if !isJSON {
		form, _ := url.ParseQuery(string(body))
		return []string{"sns:" + strings.TrimSuffix(form.Get("Action"), "Batch")}
	}
	if operation != "TransactWriteItems" {
		return []string{services[service] + ":" + strings.TrimSuffix(operation, "Batch")}
	}
	var transaction struct{ TransactItems []map[string]any }
	if err := json.Unmarshal(body, &transaction); err != nil {
		return []string{fmt.Sprintf("unreadable: %v", err)}
	}
	var all []string
	for _, item := range transaction.TransactItems {
		for kind := range item {
			all = append(all, map[string]string{
				"Put": "dynamodb:PutItem", "Update": "dynamodb:UpdateItem", "Delete": "dynamodb:DeleteItem",
				"ConditionCheck": "dynamodb:ConditionCheckItem",
			}[kind])
		}
	}
	return all
}

var accessKey = regexp.MustCompile(`Credential=([^/]+)/`)

// function names the function that signs with a key: the process that has it in its environment.
func (g *gate) function(authorization string) string {
	match := accessKey.FindStringSubmatch(authorization)
	if match == nil {
		return "unknown"
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if name, known := g.who[match[1]]; known {
		return name
	}
	g.who[match[1]] = "" // a test's own client
	for _, p := range g.processes() {
		g.who[p.env["AWS_ACCESS_KEY_ID"]] = p.env["AWS_LAMBDA_FUNCTION_NAME"]
	}
	return g.who[match[1]]
}

type functionProcess struct {
	pid int
	env map[string]string
}

// processes are those of functions that call this gate: only MiniStack's children.
func (g *gate) processes() (all []functionProcess) {
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			continue // it is gone
		}
		env := map[string]string{}
		for _, variable := range strings.Split(string(data), "\x00") {
			name, value, _ := strings.Cut(variable, "=")
			env[name] = value
		}
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(file)))
		if env["AWS_ENDPOINT_URL"] == g.server.URL && env["AWS_LAMBDA_RUNTIME_API"] != "" {
			all = append(all, functionProcess{pid, env})
		}
	}
	return all
}

// kill kills the processes of a function.
func (g *gate) kill(function string) (killed int) {
	for _, p := range g.processes() {
		if p.env["AWS_LAMBDA_FUNCTION_NAME"] != function {
			continue
		}
		if process, err := os.FindProcess(p.pid); err == nil && process.Kill() == nil {
			killed++
		}
	}
	return killed
}
