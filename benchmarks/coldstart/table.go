//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"time"

	"github.com/launchdarkly/go-server-sdk-evaluation/v3/ldbuilders"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoreimpl"
	"github.com/launchdarkly/go-server-sdk/v7/subsystems/ldstoretypes"

	"github.com/warmflags/warmflags/benchmarks/coldstart/start"
	"github.com/warmflags/warmflags/change"
	"github.com/warmflags/warmflags/dynamostore"
	localaws "github.com/warmflags/warmflags/internal/local/aws"
	"github.com/warmflags/warmflags/journal"
)

const region = "eu-west-1"

// systemRoots is the file of the certificates that this machine trusts.
const systemRoots = "/etc/ssl/certs/ca-certificates.crt"

// table is a flag table with a journal, behind DynamoDB's protocol with and without TLS.
type table struct {
	cloud        *localaws.Cloud
	plain, tls   *httptest.Server
	certificates string // the file of the certificates that the programs trust
}

func newTable(folder string) (*table, error) {
	t := &table{cloud: localaws.New(), certificates: filepath.Join(folder, "certificates.pem")}
	t.cloud.CreateFlagTable(start.Table)
	store, err := dynamostore.DataStore(
		start.Table,
	).Prefix(
		start.Prefix,
	).Client(
		t.cloud.DynamoDB,
	).Open(
		context.Background(),
	)
	if err != nil {
		return nil, err
	}
	flag := ldbuilders.NewFlagBuilder(start.Key).Version(1).SingleVariation(ldTrue).Build()
	if err := store.Init(
		[]ldstoretypes.SerializedCollection{
			{Kind: ldstoreimpl.Features(), Items: []ldstoretypes.KeyedSerializedItemDescriptor{{
				Key: start.Key, Item: ldstoretypes.SerializedItemDescriptor{
					Version: 1,
					SerializedItem: ldstoreimpl.Features().Serialize(
						ldstoretypes.ItemDescriptor{Version: 1, Item: &flag},
					),
				},
			}}},
		},
	); err != nil {
		return nil, err
	}
	writer := &journal.Writer{Client: t.cloud.DynamoDB, Table: start.Table, Region: region}
	if err := writer.Append(context.Background(), []change.Message{
		{
			Prefix:  start.Prefix,
			Changes: []change.Change{{Kind: change.KindFeatures, Key: start.Key, Version: 1, Time: time.Now()}},
		},
	}); err != nil {
		return nil, err
	}
	answer := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		time.Sleep(latency)
		t.cloud.DynamoDB.ServeHTTP(w, r)
	})
	t.plain, t.tls = httptest.NewServer(answer), httptest.NewUnstartedServer(answer)
	certificate, authority, err := newCertificate()
	if err != nil {
		return nil, err
	}
	t.tls.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
	t.tls.StartTLS()
	// Trust as many certificates as in Lambda, because reading them takes time at a start.
	roots, err := os.ReadFile(systemRoots)
	if err != nil {
		return nil, fmt.Errorf("read the machine's root certificates: %w", err)
	}
	return t, os.WriteFile(t.certificates, append(roots, authority...), 0o600)
}

// environment returns a Lambda function's environment variables.
func (t *table) environment(server *httptest.Server) []string {
	return []string{
		"AWS_LAMBDA_FUNCTION_NAME=function",
		"AWS_REGION=" + region,
		"AWS_ACCESS_KEY_ID=key",
		"AWS_SECRET_ACCESS_KEY=secret",
		"AWS_SESSION_TOKEN=token",
		"AWS_ENDPOINT_URL_DYNAMODB=" + server.URL,
		"SSL_CERT_FILE=" + t.certificates,
		"SSL_CERT_DIR=" + filepath.Dir(t.certificates) + "/none",
	}
}

func (t *table) close() {
	t.plain.Close()
	t.tls.Close()
	t.cloud.Close()
}
