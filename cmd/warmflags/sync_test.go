package main

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	dynamodbtypes "github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/warmflags/warmflags/dynamostore"
	"github.com/warmflags/warmflags/internal/local/launchdarkly"
)

// sync runs the command.
func (a *account) sync(t *testing.T, args ...string) (code int, out, problems string) {
	t.Helper()
	var stdout, stderr strings.Builder
	args = append([]string{"sync", "--table", "flags", "--stream-uri", a.ld.URL()}, args...)
	code = program{&stdout, &stderr, os.Getenv, a.connect}.run(t.Context(), args...)
	assert.NotContains(t, stdout.String()+stderr.String(), testKey)
	return code, stdout.String(), stderr.String()
}

func (a *account) flags(t *testing.T, prefix string) int {
	store, err := dynamostore.DataStore("flags").Prefix(prefix).Client(a.cloud.DynamoDB).Open(t.Context())
	require.NoError(t, err)
	all, err := store.GetAll(ldstoreimpl.Features())
	require.NoError(t, err)
	return len(all)
}

func TestSync(t *testing.T) {
	a := newAccount(t, 2)
	code, out, problems := a.sync(t, "--dry-run")
	assert.Equal(t, 3, code)
	assert.Empty(t, problems)
	assert.Equal(t, `CHANGE  KIND      KEY        FROM  TO  
add     features  flag-0     -     1   
add     features  flag-1     -     1   
add     segments  segment-0  -     1   
3 would change, 0 unchanged
`, out)
	assert.Equal(t, 0, a.flags(t, ""))
	assert.Zero(t, a.cloud.Calls("UpdateItem")+a.cloud.Calls("TransactWriteItems"), "it writes nothing")

	code, out, _ = a.sync(t)
	assert.Zero(t, code)
	assert.Contains(t, out, "3 changed, 0 unchanged\n")
	assert.Equal(t, 2, a.flags(t, ""))

	code, out, _ = a.sync(t, "--dry-run")
	assert.Zero(t, code)
	assert.Equal(t, "0 would change, 3 unchanged\n", out)

	a.ld.Flip("flag-1")
	code, out, _ = a.sync(t, "--dry-run")
	assert.Equal(t, 3, code)
	assert.Equal(t, `CHANGE  KIND      KEY     FROM  TO  
update  features  flag-1  1     2   

features/flag-1
    ~ /variations/0 1 -> 2
    ~ /variations/1 1 -> 2
    ~ /version 1 -> 2
1 would change, 2 unchanged
`, out)
	code, out, _ = a.sync(t, "--dry-run", "--json")
	assert.Equal(t, 3, code)
	assert.JSONEq(t, `{"table": "flags", "prefix": "", "dry_run": true, "fencing_token": 0, "transactions": 0, "unchanged": 2,
		"changes": [{"change": "update", "kind": "features", "key": "flag-1", "from": 1, "to": 2, "diff": [
			{"path": "/variations/0", "from": 1, "to": 2}, {"path": "/variations/1", "from": 1, "to": 2}, {"path": "/version", "from": 1, "to": 2}]}]}`, out)
}

func TestSyncKeys(t *testing.T) {
	a := newAccount(t, 1)
	code, _, _ := a.sync(t, "--prefix", "staging")
	assert.Zero(t, code)
	assert.Equal(t, 1, a.flags(t, "staging"), "the one key is that of the prefix")

	t.Setenv(keyVariable, "")
	code, _, problems := a.sync(t, "--prefix", "production", "--sdk-key-parameter", "/warmflags/sdk-key")
	assert.Zero(t, code, problems)
	assert.Equal(t, 1, a.flags(t, "production"))
	_, _, problems = a.sync(t, "--prefix", "other", "--sdk-key-parameter", "/warmflags/sdk-key")
	assert.Contains(t, problems, `there is no SDK key for prefix "other", only for ["production"]`)
	_, _, problems = a.sync(t, "--sdk-key-parameter", "/nowhere")
	assert.Contains(t, problems, "no such parameter")

	t.Setenv(keyVariable, "{")
	_, _, problems = a.sync(t)
	assert.Contains(t, problems, "read SDK key from "+keyVariable)
	t.Setenv(keyVariable, "sdk-another")
	code, _, problems = a.sync(t)
	assert.Equal(t, 1, code)
	assert.Contains(t, problems, "LaunchDarkly refused the SDK key")
}

func TestSyncIsHeldByAGuard(t *testing.T) {
	a := newAccount(t, 3)
	code, _, _ := a.sync(t)
	require.Zero(t, code)
	a.ld.Close()
	a.ld = launchdarkly.Start(testKey, 0, 1)
	code, out, problems := a.sync(t)
	assert.Equal(t, 1, code)
	assert.Contains(t, problems, "has no flags")
	assert.Equal(t, 1, strings.Count(problems, "has no flags"), "said once")
	assert.Contains(t, out, "remove  features  flag-0")
	_, out, _ = a.sync(t, "--json")
	assert.Contains(t, out, `"error": "sync prefix`)
	assert.Equal(t, 3, a.flags(t, ""))
	code, _, _ = a.sync(t, "--force")
	assert.Zero(t, code)
	assert.Equal(t, 0, a.flags(t, ""))
}

// What a sync leaves out on purpose is no equal table.
func TestSyncSaysWhatIsNotEqual(t *testing.T) {
	a := newAccount(t, 1)
	a.ld.Flip("flag-0")
	code, _, _ := a.sync(t)
	require.Zero(t, code)
	a.ld.Close()
	a.ld = launchdarkly.Start(testKey, 1, 1) // made anew: its versions begin again at 1
	for _, args := range [][]string{{"--dry-run"}, nil} {
		code, out, problems := a.sync(t, args...)
		assert.Equal(t, 3, code)
		assert.Empty(t, problems)
		assert.Contains(t, out, "hold back  features  flag-0  2     1   its version is lower")
	}
	code, _, _ = a.sync(t, "--force")
	assert.Zero(t, code)

	_, err := a.cloud.DynamoDB.DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String("flags"), Key: map[string]dynamodbtypes.AttributeValue{
		"namespace": &dynamodbtypes.AttributeValueMemberS{Value: "$inited"}, "key": &dynamodbtypes.AttributeValueMemberS{Value: "$inited"},
	}})
	require.NoError(t, err)
	code, out, _ := a.sync(t, "--dry-run")
	assert.Equal(t, 3, code)
	assert.Contains(t, out, "add     $inited  $inited")
	assert.Contains(t, out, "1 would change, 2 unchanged\n")
	code, _, problems := a.sync(t, "--max-removals", "2")
	assert.Equal(t, 1, code)
	assert.Contains(t, problems, "option MaxRemovals is 2")
}

func TestAWatchThatCannotBeginSaysItOnce(t *testing.T) {
	a := newAccount(t, 0)
	t.Setenv(keyVariable, "sdk-revoked")
	code, _, problems := a.sync(t, "--watch")
	assert.Equal(t, 1, code)
	assert.Equal(t, 1, strings.Count(problems, "refused the SDK key"))
}

func TestSyncWithAWrongURIFailsAtOnce(t *testing.T) {
	a := newAccount(t, 1)
	code, _, problems := a.sync(t, "--stream-uri", "notaurl")
	assert.Equal(t, 1, code)
	assert.Contains(t, problems, `stream URI "notaurl" is not an http or https URI`)
	assert.Zero(t, a.cloud.Calls("UpdateItem"), "no token was taken")
}

func TestSyncWithWrongFlags(t *testing.T) {
	t.Setenv(keyVariable, "")
	var out, problems strings.Builder
	assert.Equal(t, 2, program{&out, &problems, os.Getenv, connectAWS}.run(t.Context(), "sync", "--watch", "--dry-run", "--force"))
	for _, want := range []string{"no table", "--watch with --dry-run", "--watch with --force", "no SDK key: set " + keyVariable} {
		assert.Contains(t, problems.String(), want)
	}
	t.Setenv(keyVariable, testKey)
	for _, name := range []string{"AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE"} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", os.DevNull)
	problems.Reset()
	assert.Equal(t, 1, program{&out, &problems, os.Getenv, connectAWS}.run(t.Context(), "sync", "--table", "flags"))
	assert.Contains(t, problems.String(), "there is no AWS region")
}

func TestSyncWatch(t *testing.T) {
	for name, c := range map[string]struct {
		args          []string
		first, second string
	}{
		"text": {nil, `^\d\d:\d\d:\d\d add features/flag-0 - -> 1$`, `^\d\d:\d\d:\d\d update features/flag-0 1 -> 2$`},
		"json": {[]string{"--json"}, `^{"time":".+","change":"add","kind":"features","key":"flag-0","from":null,"to":1}$`,
			`^{"time":".+","change":"update","kind":"features","key":"flag-0","from":1,"to":2}$`},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAccount(t, 1)
			ctx, stop := context.WithCancel(t.Context()) // what main does at SIGINT and SIGTERM
			out, to := io.Pipe()
			var problems strings.Builder
			code := make(chan int, 1)
			go func() {
				code <- program{to, &problems, os.Getenv, a.connect}.run(ctx, append([]string{"sync", "--watch", "--table", "flags", "--stream-uri", a.ld.URL()}, c.args...)...)
			}()
			printed := bufio.NewScanner(out)
			require.True(t, printed.Scan())
			assert.Regexp(t, c.first, printed.Text())
			require.True(t, printed.Scan(), "the segment")
			a.ld.Flip("flag-0")
			require.True(t, printed.Scan())
			assert.Regexp(t, c.second, printed.Text())
			stop()
			assert.Zero(t, <-code)
			assert.Empty(t, problems.String())
			if c.args != nil {
				assert.True(t, json.Valid(printed.Bytes()))
			}
		})
	}
}
