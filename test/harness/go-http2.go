// HTTP/2 of Go's net/http, client and server, without TLS by prior knowledge.
//
//	go-http2 serve
//	go-http2 ask ORIGIN CA APP...
//
// `serve` prints the port that it listens on at 127.0.0.1, and serves both versions: a body is sent back with its
// trailer behind it, everything else is `hello\n`. `ask` prints what it found of each APP, a line of JSON each.
package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func check(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve() {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Protocols: protocols, Handler: http.HandlerFunc(answer)}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	check(err)
	fmt.Println(listener.Addr().(*net.TCPAddr).Port)
	check(server.Serve(listener))
}

func answer(writer http.ResponseWriter, request *http.Request) {
	writer.Header().Set("x-spoken", fmt.Sprintf("%d.%d", request.ProtoMajor, request.ProtoMinor))
	if size, found := strings.CutPrefix(request.URL.Path, "/bytes/"); found {
		count, _ := strconv.Atoi(size)
		writer.Write(make([]byte, count))
		return
	}
	if request.Method != http.MethodPost {
		io.WriteString(writer, "hello\n")
		return
	}
	writer.Header().Set("trailer", "x-was-trailer")
	// Else the body is thrown away once the answer begins, in HTTP/1.1.
	check(http.NewResponseController(writer).EnableFullDuplex())
	io.Copy(writer, request.Body)
	writer.Header().Set("x-was-trailer", request.Trailer.Get("x-trailer"))
}

type findings struct {
	App       string `json:"app"`
	Version   string `json:"version"`
	Status    int    `json:"status"`
	Spoken    string `json:"spoken"`
	Text      string `json:"text"`
	Echoed    bool   `json:"echoed"`
	Trailer   string `json:"trailer"`
	AtOnce    int64  `json:"atOnce"`
	Cancelled int    `json:"cancelled"`
	After     int    `json:"after"`
}

func ask(origin string, authority string, apps []string) {
	pem, err := os.ReadFile(authority)
	check(err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	protocols := new(http.Protocols)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	client := &http.Client{
		Timeout: 20 * time.Second,
		Transport: &http.Transport{
			Protocols:       protocols,
			TLSClientConfig: &tls.Config{RootCAs: roots},
		},
	}
	for _, app := range apps {
		line, err := json.Marshal(askApp(client, origin+"/"+app, app))
		check(err)
		fmt.Println(string(line))
	}
}

func askApp(client *http.Client, url string, app string) findings {
	found := findings{App: app}
	response, err := client.Get(url + "/")
	check(err)
	text, err := io.ReadAll(response.Body)
	check(err)
	found.Version, found.Status = response.Proto, response.StatusCode
	found.Spoken, found.Text = response.Header.Get("x-spoken"), string(text)

	body := bytes.Repeat([]byte("0123456789abcdef"), 65536)
	// Of unknown length: a request with a length has no trailers.
	request, err := http.NewRequest(http.MethodPost, url+"/", io.MultiReader(bytes.NewReader(body)))
	check(err)
	request.Trailer = http.Header{"X-Trailer": {"yes"}}
	response, err = client.Do(request)
	check(err)
	echoed, err := io.ReadAll(response.Body)
	check(err)
	found.Echoed, found.Trailer = bytes.Equal(echoed, body), response.Trailer.Get("x-was-trailer")

	var group sync.WaitGroup
	var good atomic.Int64
	for range 500 {
		group.Go(func() {
			response, err := client.Get(url + "/")
			if err != nil {
				return
			}
			defer response.Body.Close()
			if _, err := io.ReadAll(response.Body); err == nil && response.StatusCode == 200 {
				good.Add(1)
			}
		})
	}
	group.Wait()
	found.AtOnce = good.Load()

	// Go sends a PING behind RST_STREAM where nothing came since the last, to know that the connection lives.
	for range 100 {
		limited, cancel := context.WithCancel(context.Background())
		request, err := http.NewRequestWithContext(limited, http.MethodGet, url+"/bytes/1000000", nil)
		check(err)
		response, err := client.Do(request)
		check(err)
		cancel()
		response.Body.Close()
		if response.StatusCode == 200 {
			found.Cancelled++
		}
	}
	response, err = client.Get(url + "/")
	check(err)
	response.Body.Close()
	found.After = response.StatusCode
	return found
}

func main() {
	if os.Args[1] == "serve" {
		serve()
	} else {
		ask(os.Args[2], os.Args[3], os.Args[4:])
	}
}
