package agent

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"runtime/debug"
	"strings"

	"github.com/launchdarkly/go-sdk-common/v3/ldvalue"
)

// Limits of a request. OpenFeature's providers stay far below them.
const (
	maxBodyBytes   = 1 << 20
	maxConcurrency = 256 // concurrent requests; more are refused with status 429
)

// Error codes of OFREP 0.3.
const (
	codeFlagNotFound        = "FLAG_NOT_FOUND"
	codeGeneral             = "GENERAL"
	codeInvalidContext      = "INVALID_CONTEXT"
	codeParseError          = "PARSE_ERROR"
	codeTargetingKeyMissing = "TARGETING_KEY_MISSING"
)

// Loader loads the flags. Its methods are safe for concurrent use.
type Loader interface {
	// Flags returns the loaded flags. It waits for the first attempt to load them, at most until ctx ends, and
	// returns an error if they are not loaded then.
	Flags(ctx context.Context) (Flags, error)
	// Status returns the status of the flags, with the reason if they are not loaded.
	Status(ctx context.Context) Status
}

// handler is the agent's HTTP handler.
type handler struct {
	loader  Loader
	apiKey  string // empty: no key is required
	logger  *slog.Logger
	slots   chan struct{} // has one element for each request that is being handled
	version string
}

// NewHandler returns the handler for OFREP and for GET /status. If apiKey is not empty, each request must have it, as
// a bearer token or in the header X-API-Key. Otherwise the Host header must name a loopback host, so that a web page
// that a developer visits cannot reach the agent through its own host name.
func NewHandler(loader Loader, apiKey, version string, logger *slog.Logger) http.Handler {
	h := &handler{loader: loader, apiKey: apiKey, version: version, logger: logger,
		slots: make(chan struct{}, maxConcurrency)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /ofrep/v1/evaluate/flags", h.evaluateAll)
	mux.HandleFunc("POST /ofrep/v1/evaluate/flags/{key...}", h.evaluateOne)
	mux.HandleFunc("GET /status", h.status)
	return h.guarded(mux)
}

// guarded checks each request before it calls next, and answers with status 500 if next panics.
func (h *handler) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if cause := recover(); cause != nil {
				h.logger.Error("request failed", "path", r.URL.Path, "panic", cause, "stack", string(debug.Stack()))
				writeJSON(w, http.StatusInternalServerError, errorDetails{"the agent failed; see its log"})
			}
		}()
		select {
		case h.slots <- struct{}{}:
			defer func() { <-h.slots }()
		default:
			w.Header().Set("Retry-After", "1")
			writeJSON(w, http.StatusTooManyRequests,
				errorDetails{fmt.Sprintf("more than %d concurrent requests", maxConcurrency)})
			return
		}
		if status, details := h.refusal(r); status != 0 {
			writeJSON(w, status, errorDetails{details})
			return
		}
		r.Body = http.MaxBytesReader(w, r.Body, maxBodyBytes)
		next.ServeHTTP(w, r)
	})
}

// refusal returns the status and the reason if a request is not allowed, and 0 otherwise.
func (h *handler) refusal(r *http.Request) (status int, details string) {
	switch {
	case h.apiKey == "" && !isLoopbackHost(r.Host):
		return http.StatusForbidden, fmt.Sprintf("host %q is not a loopback name, and the agent has no API key", r.Host)
	case h.apiKey != "" && !h.authorized(r):
		return http.StatusUnauthorized, "the API key is missing or wrong"
	case r.Method == http.MethodPost && !isJSON(r.Header.Get("Content-Type")):
		return http.StatusUnsupportedMediaType, "the Content-Type must be application/json"
	}
	return 0, ""
}

// authorized reports whether a request has the API key. It compares hashes in constant time, so that its duration
// depends neither on the key nor on the key's length.
func (h *handler) authorized(r *http.Request) bool {
	given := r.Header.Get("X-API-Key")
	if scheme, token, found := strings.Cut(r.Header.Get("Authorization"), " "); found &&
		strings.EqualFold(scheme, "bearer") {
		given = strings.TrimSpace(token)
	}
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(h.apiKey))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

func isJSON(contentType string) bool {
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && media == "application/json"
}

// isLoopbackHost reports whether a Host header names this machine's loopback interface.
func isLoopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// failure is an evaluation that failed.
type failure struct {
	status  int // the HTTP status; 0 means 400
	code    string
	details string
}

func invalidContext(details string) *failure {
	return &failure{code: codeInvalidContext, details: details}
}

// evaluationFailure is OFREP's failure. Key is empty if the whole request to the bulk endpoint failed.
type evaluationFailure struct {
	Key          string `json:"key,omitempty"`
	ErrorCode    string `json:"errorCode"`
	ErrorDetails string `json:"errorDetails"`
}

// errorDetails is OFREP's response to a request that was refused before an evaluation.
type errorDetails struct {
	ErrorDetails string `json:"errorDetails"`
}

func writeFailure(w http.ResponseWriter, key string, f *failure) {
	status := f.status
	if status == 0 {
		status = http.StatusBadRequest
	}
	writeJSON(w, status, evaluationFailure{Key: key, ErrorCode: f.code, ErrorDetails: f.details})
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	text, err := json.Marshal(body)
	if err != nil {
		panic(err) // a fault in this package: all bodies can be marshaled
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_, _ = w.Write(append(text, '\n')) // it fails only if the client has disconnected
}

// readContext returns the context attributes of a request's body.
func readContext(r *http.Request) (ldvalue.Value, *failure) {
	text, err := io.ReadAll(r.Body)
	if err != nil {
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			return ldvalue.Null(), &failure{http.StatusRequestEntityTooLarge, codeInvalidContext,
				fmt.Sprintf("the body is larger than %d bytes", tooLarge.Limit)}
		}
		return ldvalue.Null(), &failure{code: codeParseError, details: "the body cannot be read: " + err.Error()}
	}
	// ldvalue's own parser is not used because it breaks escaped surrogate pairs, which OpenFeature for Python sends.
	var body map[string]any
	if err := json.Unmarshal(text, &body); err != nil || body == nil {
		return ldvalue.Null(), &failure{code: codeParseError, details: "the body is not a JSON object"}
	}
	return ldvalue.CopyArbitraryValue(body["context"]), nil
}
