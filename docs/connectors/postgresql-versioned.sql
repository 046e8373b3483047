-- Run once for each group, as a superuser. Replace the names: app_owner owns the objects, handover_admin is the user that
-- Handover logs in as. It makes and drops the versioned users, app_v1, app_v2 and so on, by itself.

-- The owner never logs in. Everything that the application owns or may do is owned by or granted to it, not to a user.
CREATE ROLE app_owner NOLOGIN;

-- Handover's own user. Set its password with \password, which sends a verifier only.
CREATE ROLE handover_admin LOGIN CREATEROLE;

-- Only to end sessions of the old generation, when a deadline says so.
GRANT pg_signal_backend TO handover_admin;

-- From PostgreSQL 16 on, CREATEROLE alone may neither make members of a role that somebody else created, nor write its
-- comment.
DO $$
BEGIN
    IF current_setting('server_version_num')::int >= 160000 THEN
        EXECUTE 'GRANT app_owner TO handover_admin WITH ADMIN TRUE, INHERIT FALSE, SET FALSE';
    END IF;
END
$$;
