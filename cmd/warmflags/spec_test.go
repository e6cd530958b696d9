package main

import (
	"errors"
	"flag"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/internal/local/launchdarkly"
	"github.com/warmflags/warmflags/internal/proof/console"
	"github.com/warmflags/warmflags/internal/table"
	"github.com/warmflags/warmflags/internal/table/layout"
	"github.com/warmflags/warmflags/journal"
	"github.com/warmflags/warmflags/subscriber"
)

var update = flag.Bool("update", false, "write docs/cli.md, and the files that scripts compare output with")

// TestMain makes the test binary the program itself where a script runs it as a process.
func TestMain(m *testing.M) { testscript.Main(m, map[string]func(){"warmflags-process": main}) }

// TestSpecification runs testdata/*.txtar: what every command prints, and how it fails. docs/cli.md is made of the
// same files.
//
// Each script has an account of its own: a LaunchDarkly with 2 flags and a segment, whose streaming URI is $STREAM,
// and the embedded engine, with the empty table "flags" and the stack "flags". The stack's SDK key parameter is
// /warmflags/sdk-key. There is no other AWS. scriptCommands has the scripts' commands besides testscript's.
//
// A comment "# doc: TEXT" puts the run that follows it, and the file that it is compared with, into docs/cli.md.
// go test -update writes that page, and the files that differ.
func TestSpecification(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			a := startAccount(2)
			env.Defer(func() { a.close() })
			env.Values["account"] = a
			env.Setenv("STREAM", a.ld.URL())
			env.Setenv(keyVariable, testKey)
			isolate(env)
			return nil
		},
		Cmds: scriptCommands(),
	})
}

// scriptCommands are the scripts' own.
func scriptCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"warmflags":      runWarmflags,    // runs the program in this process, with the script's environment variables
		"exit":           checkExit,       // N: fails unless the last run ended with this exit code
		"calls":          checkCalls,      // OPERATION N: fails unless the engine has had so many such calls
		"flip":           flip,            // KEY...: changes flags in LaunchDarkly
		"launchdarkly":   launchDarkly,    // FLAGS: replaces LaunchDarkly by one with so many flags, at version 1
		"sdk-keys":       setKeys,         // TEXT: the stack's SDK key parameter; '': there is none, and no sync
		"put-item":       putItem,         // NAMESPACE KEY VERSION FILE: writes a row
		"remove-row":     removeRow,       // NAMESPACE KEY
		"announce":       announce,        // KEY VERSION: appends a flag's change to the journal of the empty prefix
		"queue":          createQueue,     // NAME HEARTBEAT: a process's queue of the stack's topic
		"subscribe":      subscribe,       // makes a queue of the stack's topic
		"published":      printPublished,  // prints what came to that queue since the last call
		"journal":        readJournal,     // [PREFIX]: prints a journal
		"refuse":         refuse,          // [OPERATION...]: AWS refuses these operations from now on, and no others
		"refuse-after":   refuseAfter,     // OPERATION N: AWS refuses the operation after N more calls
		"webhook":        webhookEndpoint, // starts the stack's webhook at $WEBHOOK, with the secrets "old" and "new"
		"real-aws":       realAWS,         // from here on, the program is a process of its own, with AWS's client
		"aws-answers":    awsAnswers,      // STATUS FILE: real-aws, with a server that answers every request so
		"publish":        publish,         // from here on, the stack announces changes
		"disable-stream": disableStream,   // disables the event source mapping of the table's stream
		"when-it-waits":  whenItWaits,     // NAMESPACE KEY VERSION FILE ARGUMENT...: tail, and a row when it waits

		"closed-port": closedPort, // VARIABLE: sets it to the URL of a port at which nothing listens

		// FILE: compares what the last run printed with a file of the script, as package console compares
		"prints": console.Prints("testdata", *update),
	}
}

func accountOf(ts *testscript.TestScript) *account { return ts.Value("account").(*account) }

func runWarmflags(ts *testscript.TestScript, fails bool, args []string) {
	a := accountOf(ts)
	if a.real {
		a.exit = exitOK
		if err := ts.Exec("warmflags-process", args...); err != nil {
			exit := &exec.ExitError{}
			if !errors.As(err, &exit) {
				ts.Fatalf("run warmflags: %v", err)
			}
			a.exit = exit.ExitCode()
		}
	} else {
		a.exit = program{ts.Stdout(), ts.Stderr(), ts.Getenv, a.connect}.run(a.ctx, args...)
	}
	if fails != (a.exit != exitOK) {
		ts.Fatalf("exit code %d", a.exit)
	}
}

func checkExit(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 || args[0] != strconv.Itoa(accountOf(ts).exit) {
		ts.Fatalf("exit code %d, want %s", accountOf(ts).exit, strings.Join(args, " "))
	}
}

func checkCalls(ts *testscript.TestScript, _ bool, args []string) {
	if got := strconv.Itoa(accountOf(ts).cloud.Calls(args[0])); got != args[1] {
		ts.Fatalf("%s calls of %s, want %s", got, args[0], args[1])
	}
}

func flip(ts *testscript.TestScript, _ bool, args []string) {
	for _, key := range args {
		accountOf(ts).ld.Flip(key)
	}
}

func launchDarkly(ts *testscript.TestScript, _ bool, args []string) {
	a, flags := accountOf(ts), atoi(ts, args[0])
	a.ld.Close()
	a.ld = launchdarkly.Start(testKey, flags, 1)
	ts.Setenv("STREAM", a.ld.URL())
}

func setKeys(ts *testscript.TestScript, _ bool, args []string) { accountOf(ts).parameter = args[0] }

func putItem(ts *testscript.TestScript, _ bool, args []string) {
	row := table.Key(args[0], args[1])
	row[layout.AttrVersion] = table.Number(int64(atoi(ts, args[2])))
	row[layout.AttrItem] = table.Text(strings.TrimSpace(ts.ReadFile(args[3])))
	_, err := accountOf(ts).cloud.DynamoDB.PutItem(accountOf(ts).ctx, &dynamodb.PutItemInput{
		TableName: aws.String("flags"), Item: row,
	})
	ts.Check(err)
}

func removeRow(ts *testscript.TestScript, _ bool, args []string) {
	_, err := accountOf(ts).cloud.DynamoDB.DeleteItem(accountOf(ts).ctx, &dynamodb.DeleteItemInput{
		TableName: aws.String("flags"), Key: table.Key(args[0], args[1]),
	})
	ts.Check(err)
}

func announce(ts *testscript.TestScript, _ bool, args []string) {
	a := accountOf(ts)
	w := journal.Writer{Client: a.cloud.DynamoDB, Table: "flags", Region: region}
	ts.Check(w.Append(a.ctx, []change.Message{{Changes: []change.Change{
		{Kind: change.KindFeatures, Key: args[0], Version: atoi(ts, args[1])},
	}}}))
}

func createQueue(ts *testscript.TestScript, _ bool, args []string) {
	a := accountOf(ts)
	_, err := a.cloud.SQS.CreateQueue(a.ctx, &sqs.CreateQueueInput{QueueName: &args[0], Tags: map[string]string{
		subscriber.TagTopic: a.topic, subscriber.TagHeartbeat: args[1], subscriber.TagOwner: "host/7",
	}})
	ts.Check(err)
}

func atoi(ts *testscript.TestScript, s string) int {
	n, err := strconv.Atoi(s)
	ts.Check(err)
	return n
}
