// Command httpservice judges messages that are posted to it: verdict without relay.
//
//	go run ./examples/httpservice -listen 127.0.0.1:8025
//	curl --data-binary @message.eml http://127.0.0.1:8025/judge
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"

	"github.com/postreeve/postreeve/verdict"
	"github.com/postreeve/postreeve/verdict/teststring"
)

var (
	spool  verdict.Spool // small messages in memory, large ones in files
	engine = verdict.Engine{Scanners: []verdict.Scanner{teststring.Scanner{}, verdict.Structure{}}}
)

func judge(w http.ResponseWriter, r *http.Request) {
	body, err := spool.ReadAll(r.Body, 50<<20)
	if errors.Is(err, verdict.ErrTooLarge) {
		http.Error(w, "at most 50 MiB", http.StatusRequestEntityTooLarge)
		return
	} else if err != nil {
		http.Error(w, "the message did not arrive", http.StatusBadRequest)
		return
	}
	defer body.Close()
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(engine.Judge(r.Context(), verdict.NewMessage(body)))
}

func main() {
	listen := flag.String("listen", "127.0.0.1:8025", "address to listen on")
	flag.Parse()
	ln, err := net.Listen("tcp", *listen)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("listening on", ln.Addr())
	mux := http.NewServeMux()
	mux.HandleFunc("POST /judge", judge)
	srv := &http.Server{Handler: mux, ReadTimeout: time.Minute, WriteTimeout: time.Minute}
	log.Fatal(srv.Serve(ln))
}
