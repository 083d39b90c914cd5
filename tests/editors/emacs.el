;;; emacs.el --- Opens a recipe in Emacs as a user does  -*- lexical-binding: t; -*-

;;; Commentary:

;; Run by `emacs --batch' in a workspace with `recipes/demo.json'; `ZRECIPE' is the program and `ZRECIPE_EDITOR' the
;; configuration of Emacs.  Writes what it has seen to `seen.json'.

;;; Code:

(package-initialize)
(add-to-list 'load-path (getenv "ZRECIPE_EDITOR"))
(require 'zrecipe)
(require 'flymake)
(require 'json)

(setq zrecipe-command (list (getenv "ZRECIPE") "lsp")
      eglot-autoshutdown t
      eglot-sync-connect t)

(defun seen-await (what condition)
  "Wait until CONDITION holds; say WHAT was waited for in vain."
  (let ((left 600))
    (while (not (funcall condition))
      (when (zerop (setq left (1- left)))
        (error "Emacs waited in vain until %s" what))
      (accept-process-output nil 0.1))))

(defun seen-diagnostics ()
  "What Flymake shows: line, column in characters, rule."
  (mapcar (lambda (shown)
            (save-excursion
              (goto-char (flymake-diagnostic-beg shown))
              (list (line-number-at-pos)
                    (1+ (- (point) (line-beginning-position)))
                    (let ((text (flymake-diagnostic-text shown)))
                      (if (string-match "\\[\\([a-z0-9-]+\\)\\]" text) (match-string 1 text) text)))))
          (flymake-diagnostics)))

(defvar seen-file (expand-file-name "seen.json"))

(find-file "recipes/demo.json")
(if (fboundp 'js-json-mode)
    (js-json-mode)
  ;; Before Emacs 29.
  (js-mode)
  (add-to-list 'eglot-server-programs '(js-mode . zrecipe--contact)))
(call-interactively #'eglot)
(flymake-mode 1)
(flymake-start)
(seen-await "findings are shown" #'flymake-diagnostics)
(let ((shown (seen-diagnostics)) renamed drawn)
  (goto-char (point-min))
  (search-forward "\"2\":")
  (backward-char 2)
  (eglot-rename "7")
  (setq renamed (buffer-substring-no-properties (point-min) (point-max)))
  (zrecipe-graph "svg")
  (setq drawn (with-current-buffer "*zrecipe graph*" (buffer-string)))
  (with-temp-file seen-file
    (insert (json-encode `((diagnostics . ,(vconcat (mapcar #'vconcat shown)))
                           (renamed . ,renamed)
                           (drawn . ,(substring-no-properties drawn)))))))
(set-buffer-modified-p nil)
(call-interactively #'eglot-shutdown)
;;; emacs.el ends here
